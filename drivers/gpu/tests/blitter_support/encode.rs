//! A described blit as dwords.

use super::{Blit, Form, PatternKind, Side, SourceKind};

/// Where a blit's monochrome source and colour pattern lie in memory.
pub const MONO_AT: u64 = 0x55_0000_0123;
/// Patterns are aligned to their size.
pub const PATTERN_AT: u64 = 0x66_0000_0100;

fn opcode(form: Form) -> u32 {
    match form {
        Form::Color => 0x50,
        Form::Pattern => 0x51,
        Form::PatternImmediate => 0x72,
        Form::MonoPattern => 0x52,
        Form::SourceCopy => 0x53,
        Form::MonoSource => 0x54,
        Form::MonoSourceImmediate => 0x71,
        Form::Full => 0x55,
        Form::FullMonoSource => 0x56,
        Form::FullMonoPattern => 0x57,
        Form::FullMonoPatternMonoSource => 0x58,
        Form::FullImmediatePattern => 0x74,
        Form::FullMonoSourceImmediatePattern => 0x75,
        Form::Pixel => 0x24,
        Form::ScanlinesColor | Form::ScanlinesMono => 0x25,
        Form::Text => 0x26,
        Form::TextImmediate => 0x31,
        Form::FastCopy => 0x42,
        Form::PlainColor => 0x40,
        Form::PlainCopy => 0x43,
    }
}

fn point(x: i16, y: i16) -> u32 {
    u32::from(y as u16) << 16 | u32::from(x as u16)
}

fn pitch(side: &Side) -> u32 {
    let pitch = if side.tiling == 0 {
        side.pitch
    } else {
        side.pitch / 4
    };
    u32::from(pitch as i16 as u16)
}

fn push_address(dwords: &mut Vec<u32>, address: u64) {
    dwords.extend([address as u32, (address >> 32) as u32]);
}

impl Blit {
    /// The commands that must come before.
    pub fn setup_commands(&self) -> Vec<Vec<u32>> {
        let clip = self.clip.unwrap_or([1, 1, 2, 2]);
        let clip = [point(clip[0], clip[1]), point(clip[2], clip[3])];
        if !self.form.needs_setup() {
            return vec![finish(0x03, 0, clip.to_vec())];
        }
        let mono = self.form != Form::ScanlinesColor;
        let mut dwords = vec![self.control(), 0, 0];
        push_address(&mut dwords, self.target.base);
        let colors = if self.form.source() == SourceKind::None {
            2
        } else {
            0
        };
        dwords.extend([self.colors[colors], self.colors[colors + 1]]);
        push_address(&mut dwords, if mono { self.pattern } else { PATTERN_AT });
        let flags = self.byte_mask << 20 | u32::from(self.target.tiling != 0) << 11;
        vec![
            finish(if mono { 0x11 } else { 0x01 }, flags, dwords),
            finish(0x03, 0, clip.to_vec()),
        ]
    }

    /// The command itself.
    pub fn command(&self) -> Vec<u32> {
        let [x1, y1, x2, y2] = self.area;
        let mut dwords = match self.form {
            Form::Pixel => vec![point(x1, y1)],
            form if form.needs_setup() => vec![point(x1, y1), point(x2, y2)],
            Form::FastCopy => return self.fast_copy(),
            Form::PlainColor | Form::PlainCopy => return self.plain_form(),
            _ => {
                let mut dwords = vec![self.control(), point(x1, y1), point(x2, y2)];
                push_address(&mut dwords, self.target.base);
                dwords
            }
        };
        self.push_source(&mut dwords);
        if !self.form.needs_setup() {
            self.push_pattern(&mut dwords);
        }
        if self.form.immediate_source() {
            dwords.extend(self.immediate_bits());
        }
        finish(opcode(self.form), self.flags(), dwords)
    }

    fn push_source(&self, dwords: &mut Vec<u32>) {
        match self.form {
            Form::Text => push_address(dwords, MONO_AT),
            Form::MonoSourceImmediate => dwords.extend(&self.colors[..2]),
            form => match form.source() {
                SourceKind::Color => {
                    dwords.extend([point(self.from.0, self.from.1), pitch(&self.source)]);
                    push_address(dwords, self.source.base);
                }
                SourceKind::Mono => {
                    push_address(dwords, MONO_AT);
                    dwords.extend(&self.colors[..2]);
                }
                SourceKind::None | SourceKind::Text => {}
            },
        }
    }

    fn push_pattern(&self, dwords: &mut Vec<u32>) {
        match (self.form, self.form.pattern()) {
            (
                Form::PatternImmediate
                | Form::FullImmediatePattern
                | Form::FullMonoSourceImmediatePattern,
                _,
            ) => {
                let bytes = (0..64).flat_map(|index| {
                    self.pixels[index]
                        .to_le_bytes()
                        .into_iter()
                        .take(self.pixel() as usize)
                });
                let bytes: Vec<u8> = bytes.collect();
                dwords.extend(
                    bytes
                        .chunks(4)
                        .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])),
                );
            }
            (_, PatternKind::Color) => push_address(dwords, PATTERN_AT),
            (_, PatternKind::Mono) => {
                dwords.extend(&self.colors[2..]);
                push_address(dwords, self.pattern);
            }
            (_, PatternKind::Solid) => dwords.push(self.colors[3]),
            (_, PatternKind::Unused) => {}
        }
    }

    /// Whole qwords of the bits that memory at [`MONO_AT`] would hold.
    fn immediate_bits(&self) -> Vec<u32> {
        let [x1, y1, x2, y2] = self.area.map(i64::from);
        let (width, height) = ((x2 - x1).max(0) as u64, (y2 - y1).max(0) as u64);
        let bits = super::reference::stride_bits(self, width) * height;
        let bytes = bits.div_ceil(64) * 8;
        let memory = super::Memory::new(0);
        let bytes: Vec<u8> = (0..bytes)
            .map(|offset| memory.byte(MONO_AT + offset))
            .collect();
        bytes
            .chunks(4)
            .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect()
    }

    fn control(&self) -> u32 {
        u32::from(self.solid) << 31
            | u32::from(self.clip.is_some()) << 30
            | u32::from(self.source_transparent) << 29
            | u32::from(self.pattern_transparent) << 28
            | self.depth << 24
            | u32::from(self.rop) << 16
            | pitch(&self.target)
    }

    fn flags(&self) -> u32 {
        let mut flags = self.seed.0 << 12 | self.seed.1 << 8;
        flags |= u32::from(self.target.tiling != 0) << 11;
        match self.form.source() {
            SourceKind::Color => flags |= u32::from(self.source.tiling != 0) << 15,
            SourceKind::Mono => flags |= self.first_bit << 17,
            SourceKind::Text => flags |= u32::from(self.packed) << 16,
            SourceKind::None => {}
        }
        if !self.form.needs_setup() {
            flags |= self.byte_mask << 20;
        }
        flags
    }

    fn fast_copy(&self) -> Vec<u32> {
        let [x1, y1, x2, y2] = self.area;
        let depth = [0, 1, 1, 3][self.depth as usize];
        let mut dwords = vec![
            depth << 24 | pitch(&self.target),
            point(x1, y1),
            point(x2, y2),
        ];
        push_address(&mut dwords, self.target.base);
        dwords.extend([point(self.from.0, self.from.1), pitch(&self.source)]);
        push_address(&mut dwords, self.source.base);
        let tiling = u32::from(self.source.tiling) << 20 | u32::from(self.target.tiling) << 13;
        finish(0x42, tiling, dwords)
    }

    fn plain_form(&self) -> Vec<u32> {
        let [_, _, width, height] = self.area;
        let size = u32::from(height as u16) << 16 | (i64::from(width) * self.pixel()) as u32;
        let mut dwords = vec![self.control(), size];
        push_address(&mut dwords, self.target.base);
        if self.form == Form::PlainColor {
            dwords.push(self.colors[3]);
        } else {
            dwords.push(pitch(&self.source));
            push_address(&mut dwords, self.source.base);
        }
        finish(opcode(self.form), self.byte_mask << 20, dwords)
    }
}

/// Header and operands.
fn finish(opcode: u32, flags: u32, operands: Vec<u32>) -> Vec<u32> {
    let length = operands.len() as u32 - 1;
    assert!(length < 256, "{opcode:#x} is too long");
    let mut command = vec![2 << 29 | opcode << 22 | flags | length];
    command.extend(operands);
    command
}
