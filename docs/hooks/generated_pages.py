"""MkDocs hook that adds the pages generated from the code when the site is built."""

import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))
import command_reference
import proto_reference

PAGES = {"reference/commands.md": command_reference.page, "reference/protocol.md": proto_reference.page}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the generated pages to the site."""
    for name, page in PAGES.items():
        files.append(File.generated(config, name, content=page()))
    return files
