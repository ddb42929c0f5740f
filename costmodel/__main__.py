"""``python -m costmodel`` and ``costmodel`` are the command line."""


def run() -> None:
    """Run it; interrupted, it ends quietly, also while it is imported."""
    try:
        from costmodel.cli import main

        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    run()
