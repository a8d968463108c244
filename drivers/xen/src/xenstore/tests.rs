//! Replies good and bad, against the client over a ring.
