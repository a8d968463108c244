//! Life of a server against an imitation of Xen.
