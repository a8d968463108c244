//! What the blitter does with commands and memory that are not as they should be.

use gpu::GraphicsAddress;
use gpu::model::blitter::{Setup, execute};
use gpu::model::fault::Fault;
use gpu::model::surface::{STEP_BYTES, Step, Surface};
use proptest::prelude::*;

/// Memory that ends.
struct Bounded {
    bytes: Vec<u8>,
    moved: u64,
}

impl Bounded {
    fn range(
        &self,
        address: GraphicsAddress,
        length: usize,
    ) -> Result<std::ops::Range<usize>, Fault> {
        let first = address.0 as usize;
        match first.checked_add(length) {
            Some(end) if end <= self.bytes.len() => Ok(first..end),
            _ => Err(Fault::Unmapped(address)),
        }
    }
}

impl Surface for Bounded {
    fn read(&mut self, address: GraphicsAddress, data: &mut [u8]) -> Result<(), Fault> {
        let range = self.range(address, data.len())?;
        self.moved += data.len() as u64;
        data.copy_from_slice(&self.bytes[range]);
        Ok(())
    }

    fn write(&mut self, address: GraphicsAddress, data: &[u8]) -> Result<(), Fault> {
        let range = self.range(address, data.len())?;
        self.moved += data.len() as u64;
        self.bytes[range].copy_from_slice(data);
        Ok(())
    }
}

fn bounded() -> Bounded {
    Bounded {
        bytes: vec![0; 1 << 20],
        moved: 0,
    }
}

/// XY_COLOR_BLT, 32 bpp, PATCOPY.
fn fill(x2: u32, y2: u32, address: u32) -> [u32; 7] {
    [
        0x5430_0005,
        0x03f0_1000,
        0,
        y2 << 16 | x2,
        address,
        0,
        0xcafe_f00d,
    ]
}

#[test]
fn a_fault_in_the_middle_names_the_address_and_leaves_no_progress() {
    let (mut memory, mut setup) = (bounded(), Setup::default());
    let command = fill(1024, 300, 0);
    let fault = loop {
        match execute(&mut memory, &mut setup, &command) {
            Ok(Step::More { .. }) => {}
            Ok(Step::Done { .. }) => panic!("row 256 is beyond the memory"),
            Err(fault) => break fault,
        }
    };
    assert_eq!(fault, Fault::Unmapped(GraphicsAddress(1 << 20)));
    assert_eq!(memory.bytes[(1 << 20) - 4..], 0xcafe_f00du32.to_le_bytes());
    assert_eq!(
        setup,
        Setup::default(),
        "the next command starts at its own beginning"
    );
}

#[test]
fn empty_and_inverted_rectangles_touch_nothing() {
    for (x1, y1, x2, y2) in [(5, 5, 5, 9), (5, 5, 9, 5), (9, 5, 5, 9), (5, 9, 9, 5)] {
        let mut memory = bounded();
        let mut command = fill(x2, y2, u32::MAX);
        command[2] = y1 << 16 | x1;
        let step = execute(&mut memory, &mut Setup::default(), &command);
        assert_eq!(step, Ok(Step::Done { bytes: 0 }));
        assert_eq!(memory.moved, 0);
    }
}

#[test]
fn forms_that_are_not_there_are_malformed_and_other_clients_unknown() {
    // Chroma key, fixed hatch, an opcode that is none, Yf and Ys tiles.
    for header in [
        0x5cc0_000a,
        0x5640_0006,
        0x4000_0006,
        0x50a0_0008,
        0x50b0_0008,
        0x5080_6008,
    ] {
        let mut command = [0; 12];
        command[0] = header;
        command[1] = 1 << 31 | 1 << 30 | 3 << 24;
        let result = execute(&mut bounded(), &mut Setup::default(), &command);
        assert_eq!(result, Err(Fault::Malformed(header)), "{header:#x}");
    }
    let result = execute(&mut bounded(), &mut Setup::default(), &[0x0280_0000]);
    assert_eq!(result, Err(Fault::UnknownCommand(0x0280_0000)));
}

#[test]
fn immediate_data_that_is_not_all_there_is_malformed() {
    // XY_MONO_SRC_COPY_IMMEDIATE_BLT of 64 by 2 pixels needs four dwords of bits.
    let header = 0x5c40_0000 | 9;
    let mut command = vec![header, 0x00cc_1000, 0, 2 << 16 | 64, 0, 0, 1, 2, 3, 4, 5];
    let mut setup = Setup::default();
    assert_eq!(
        execute(&mut bounded(), &mut setup, &command),
        Err(Fault::Malformed(header))
    );
    command.push(6);
    assert!(execute(&mut bounded(), &mut setup, &command).is_ok());
}

fn hostile() -> impl Strategy<Value = Vec<u32>> {
    let opcodes = vec![
        0x01, 0x03, 0x11, 0x24, 0x25, 0x26, 0x31, 0x40, 0x42, 0x43, 0x50, 0x51, 0x52, 0x53, 0x54,
        0x55, 0x56, 0x57, 0x58, 0x59, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x00, 0x7f,
    ];
    let opcode = prop::sample::select(opcodes);
    (
        opcode,
        any::<u32>(),
        prop::collection::vec(any::<u32>(), 0..80),
    )
        .prop_map(|(opcode, flags, rest)| {
            let mut command = vec![2 << 29 | opcode << 22 | flags & 0x3f_ffff];
            command.extend(rest);
            command
        })
}

/// Answers everything, so that only the blitter's own bounds end a call.
struct Everything(u64);

impl Surface for Everything {
    fn read(&mut self, _: GraphicsAddress, data: &mut [u8]) -> Result<(), Fault> {
        self.0 += data.len() as u64;
        data.fill(0x5a);
        Ok(())
    }

    fn write(&mut self, _: GraphicsAddress, data: &[u8]) -> Result<(), Fault> {
        self.0 += data.len() as u64;
        Ok(())
    }

    fn software_control(&self) -> u32 {
        3
    }
}

proptest! {
    #[test]
    fn no_sequence_of_commands_panics_or_exceeds_a_step(
        commands in prop::collection::vec(hostile(), 1..6),
        calls in 1..4usize,
    ) {
        let mut setup = Setup::default();
        for command in &commands {
            for _ in 0..calls {
                let mut surface = Everything(0);
                // Left in the middle or not: the next command may follow at any time.
                match execute(&mut surface, &mut setup, command) {
                    Ok(Step::More { bytes } | Step::Done { bytes }) => {
                        prop_assert_eq!(bytes, surface.0);
                        prop_assert!(bytes <= STEP_BYTES);
                    }
                    Err(fault) => prop_assert_eq!(fault, Fault::Malformed(command[0])),
                }
            }
        }
    }
}

proptest! {
    // Fewer cases: some paint two megabytes.
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_step_makes_progress(width in 1..2000u32, height in 1..300u32) {
        let (mut surface, mut setup) = (Everything(0), Setup::default());
        let command = fill(width, height, 0);
        let mut calls = 1;
        while let Ok(Step::More { .. }) = execute(&mut surface, &mut setup, &command) {
            calls += 1;
        }
        prop_assert_eq!(surface.0, u64::from(width * height * 4));
        let spans = u64::from(height) * u64::from(width.div_ceil(256));
        prop_assert!(calls <= 2 + (surface.0 * 3 + spans * 64) / (STEP_BYTES - 4096));
    }
}
