"""Async handlers and streams. The modules in here import asyncio, so they are imported when first needed."""
