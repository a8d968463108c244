//! The software GPU alone: everything that must work, works, and the checks agree with it.

use gpu::model::Model;
use gpu::spec::gtt::GttEntry;
use gpu::{DmaPage, Gpu, GttIndex, Owner, Ram};

use super::{Device, Simulated};
use crate::checks;
use crate::hardware::{GGTT_ENTRIES, PVINFO};
use crate::machine::{Bar, PAGE, Width};
use crate::report::Report;

/// Entries of the global GTT: 1 GiB.
const ENTRIES: u32 = 1 << 18;

/// HWS_PGA of each engine.
const STATUS_PAGES: [u64; 4] = [0x2080, 0x22080, 0x12080, 0x1a080];

/// A GPU with a PVINFO page, which hardware has not, and nothing else between it and its driver.
struct Bare {
    gpu: Model<Ram>,
    config: [u8; 256],
    ram: Ram,
}

impl Bare {
    fn new(ram: Ram) -> Self {
        let mut config = [0; 256];
        config[0x34] = 0xac;
        config[0xac] = 0x05;
        Self {
            gpu: Model::new(ram.clone(), ENTRIES),
            config,
            ram,
        }
    }

    fn pvinfo(offset: u64) -> u32 {
        let mib = |count: u32| count << 20;
        match offset {
            0x00 => 0x7654_4776,
            0x04 => 0x4776_5447,
            0x08 => 1,
            0x10 => 0x0c,
            0x40 => mib(16),
            0x44 => mib(16),
            0x48 => mib(512),
            0x4c => mib(64),
            0x50 => 4,
            _ => 0,
        }
    }

    fn dword(&mut self, offset: u64, write: Option<u32>) -> u32 {
        if (PVINFO..PVINFO + PAGE).contains(&offset) {
            return Self::pvinfo(offset - PVINFO);
        }
        match write {
            None => self.gpu.read(offset as u32),
            Some(value) => {
                // The software GPU wants status pages to be the device driver's own.
                if STATUS_PAGES.contains(&offset) {
                    let entry = self.gpu.read_gtt(GttIndex(value / PAGE as u32));
                    self.ram.set_owner(DmaPage(entry.frame()), Owner::Host);
                }
                self.gpu.write(offset as u32, value);
                0
            }
        }
    }
}

impl Device for Bare {
    fn bar(&mut self, bar: Bar, offset: u64, width: Width, write: Option<u64>) -> u64 {
        assert_eq!(bar, Bar::Registers, "the bare device has no aperture");
        if let Some(entry) = offset.checked_sub(GGTT_ENTRIES) {
            assert_eq!((width, entry % 8), (Width::Qword, 0));
            let index = GttIndex((entry / 8) as u32);
            return match write {
                None => self.gpu.read_gtt(index).0,
                Some(value) => {
                    self.gpu.write_gtt(index, GttEntry(value));
                    0
                }
            };
        }
        match width {
            Width::Dword => self.dword(offset, write.map(|value| value as u32)).into(),
            Width::Qword => {
                assert_eq!(write, None);
                let low = self.dword(offset, None);
                u64::from(low) | u64::from(self.dword(offset + 4, None)) << 32
            }
            _ => panic!("{width:?} access to {offset:#x}"),
        }
    }

    fn config(&mut self, offset: u64, width: Width, write: Option<u32>) -> u32 {
        let bytes = &mut self.config[offset as usize..][..width.bytes() as usize];
        if let Some(value) = write {
            bytes.copy_from_slice(&value.to_le_bytes()[..bytes.len()]);
        }
        bytes
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | u32::from(*byte))
    }

    fn physical(&mut self, _address: u64) -> u32 {
        !0
    }

    fn run(&mut self) -> u64 {
        self.gpu.run();
        self.gpu.take_interrupt().into()
    }
}

#[test]
fn every_submission_check_passes_on_the_software_gpu_alone() {
    let ram = Ram::new(8192);
    let mut machine = Simulated::new(Bare::new(ram.clone()), ram, Owner::Guest(1));
    let mut report = Report::default();
    checks::work(&mut machine, &mut report);
    assert!(report.finish());
    assert_eq!(
        machine.device.gpu.breaches(),
        0,
        "{:?}",
        machine.device.gpu.last_breach()
    );
    assert!(machine.device.ram.in_use() > 0);
}

#[test]
fn a_hundred_rectangles_are_what_an_independent_hand_draws() {
    let ram = Ram::new(8192);
    let mut machine = Simulated::new(Bare::new(ram.clone()), ram, Owner::Guest(1));
    let mut report = Report::default();
    crate::draw::draw(&mut machine, &mut report, 100);
    assert!(report.finish());
}
