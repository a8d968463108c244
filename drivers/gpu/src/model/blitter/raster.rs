//! Raster operations: all 256 functions of pattern, source and destination.
//!
//! Bit `pattern << 2 | source << 1 | destination` of the operation's code is its result, for each
//! bit of a pixel by itself (Intel PRM volume 8, "Raster Operation"; the codes are those of the
//! Windows GDI's ternary operations).

/// One raster operation, by its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RasterOperation(pub(super) u8);

impl RasterOperation {
    /// Result is the source.
    pub(super) const SOURCE: Self = Self(0xcc);
    /// Result is the pattern.
    pub(super) const PATTERN: Self = Self(0xf0);

    /// The result, bit by bit: the operands choose among the eight bits of the code.
    #[inline]
    pub(super) const fn apply(self, pattern: u32, source: u32, destination: u32) -> u32 {
        let by_destination = [
            choose(destination, self.bit(1), self.bit(0)),
            choose(destination, self.bit(3), self.bit(2)),
            choose(destination, self.bit(5), self.bit(4)),
            choose(destination, self.bit(7), self.bit(6)),
        ];
        let without_pattern = choose(source, by_destination[1], by_destination[0]);
        let with_pattern = choose(source, by_destination[3], by_destination[2]);
        choose(pattern, with_pattern, without_pattern)
    }

    /// One bit of the code, in all bits of a pixel.
    #[inline]
    const fn bit(self, term: u32) -> u32 {
        0u32.wrapping_sub(self.0 as u32 >> term & 1)
    }

    /// Whether the destination matters, so that it must be read.
    pub(super) const fn uses_destination(self) -> bool {
        (self.0 >> 1 ^ self.0) & 0x55 != 0
    }

    /// Whether the source matters.
    pub(super) const fn uses_source(self) -> bool {
        (self.0 >> 2 ^ self.0) & 0x33 != 0
    }

    /// Whether the pattern matters.
    pub(super) const fn uses_pattern(self) -> bool {
        (self.0 >> 4 ^ self.0) & 0x0f != 0
    }
}

/// `one` where `by` is set, `zero` where it is not.
#[inline]
const fn choose(by: u32, one: u32, zero: u32) -> u32 {
    zero ^ by & (one ^ zero)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_named_operations_are_what_their_names_say() {
        let (p, s, d) = (0xf0f0_f0f0, 0xcccc_cccc, 0xaaaa_aaaa);
        let expected: [(u8, u32); 8] = [
            (0x00, 0),
            (0xff, !0),
            (0x55, !d),
            (0x66, s ^ d),
            (0x88, s & d),
            (0xee, s | d),
            (0x5a, p ^ d),
            (0xca, (p & s) | (!p & d)),
        ];
        for (code, result) in expected {
            assert_eq!(RasterOperation(code).apply(p, s, d), result, "{code:#04x}");
        }
    }

    proptest! {
        #[test]
        fn an_operand_that_is_not_used_does_not_matter(
            code: u8, p: u32, s: u32, d: u32, other: u32,
        ) {
            let operation = RasterOperation(code);
            let result = operation.apply(p, s, d);
            if !operation.uses_pattern() {
                prop_assert_eq!(result, operation.apply(other, s, d));
            }
            if !operation.uses_source() {
                prop_assert_eq!(result, operation.apply(p, other, d));
            }
            if !operation.uses_destination() {
                prop_assert_eq!(result, operation.apply(p, s, other));
            }
        }
    }
}
