//! aperture
