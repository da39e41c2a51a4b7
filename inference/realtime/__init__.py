"""Live conversion: sound goes in and comes out block by block, a fixed time later."""
