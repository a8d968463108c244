//! Our copy of what a guest submitted, checked, patched, and what the GPU really executes.
