"""``python -m costmodel`` and ``costmodel`` are the command line."""


def run() -> None:
    """Run it; interrupted while it is imported, it ends as quietly as later."""
    try:
        from costmodel.cli import main
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    main()


if __name__ == "__main__":
    run()
