//! Which guest's work an engine runs next.
