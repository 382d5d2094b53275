"""Languages besides English: scene graphs on universal dependencies."""
