//! The shared page's protocol, seen from both ends.

use super::*;
use crate::fake::TestPage;
