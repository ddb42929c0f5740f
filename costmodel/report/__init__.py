"""Tables and figures for people and for programs: text, CSV, JSON, Markdown. Presentation only; no new numbers."""
