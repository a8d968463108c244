//! Xen's error numbers (`xen/errno.h`), with their names.

use core::fmt;

/// An error number as Xen returns it, positive.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Errno(pub i32);

macro_rules! errnos {
    ($($name:ident = $number:literal),* $(,)?) => {
        #[expect(missing_docs, reason = "the names are Xen's own")]
        impl Errno {
            $(pub const $name: Self = Self($number);)*
            /// Every name with its number, in the header's order.
            pub const ALL: &'static [(&'static str, Errno)] = &[$((stringify!($name), Self::$name)),*];
        }
    };
}

errnos! {
    EPERM = 1, ENOENT = 2, ESRCH = 3, EIO = 5, ENXIO = 6, E2BIG = 7, ENOEXEC = 8, EBADF = 9,
    ECHILD = 10, EAGAIN = 11, ENOMEM = 12, EACCES = 13, EFAULT = 14, EBUSY = 16, EEXIST = 17,
    EXDEV = 18, ENODEV = 19, ENOTDIR = 20, EISDIR = 21, EINVAL = 22, ENFILE = 23, EMFILE = 24,
    ENOSPC = 28, EROFS = 30, EMLINK = 31, EDOM = 33, ERANGE = 34, EDEADLK = 35,
    ENAMETOOLONG = 36, ENOLCK = 37, ENOSYS = 38, ENOTEMPTY = 39, ENODATA = 61, ETIME = 62,
    EBADMSG = 74, EOVERFLOW = 75, EILSEQ = 84, ENOTSOCK = 88, EMSGSIZE = 90, EOPNOTSUPP = 95,
    EADDRINUSE = 98, EADDRNOTAVAIL = 99, ENOBUFS = 105, EISCONN = 106, ENOTCONN = 107,
    ETIMEDOUT = 110, ECONNREFUSED = 111,
}

impl Errno {
    /// The error in a hypercall's return value, if it is one.
    pub const fn from_return(value: i64) -> Option<Self> {
        if value >= 0 {
            None
        } else if value >= -4095 {
            Some(Self(-value as i32))
        } else {
            // No error number is that large: report it as what it is, an unusable answer.
            Some(Self::EIO)
        }
    }

    /// Xen's name of the number, or `E?`.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, errno)| *errno == self)
            .map_or("E?", |(name, _)| name)
    }

    /// The number behind a name, as Xenstore spells errors.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, errno)| *errno)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "-{} ({})", self.name(), self.0)
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
