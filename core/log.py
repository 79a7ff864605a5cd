"""Words for the log: structlog, set up once, with secrets masked before anything is written."""

from __future__ import annotations
