"""A local server that speaks the wire format of OpenAI's image and text APIs (chapter 11)."""
