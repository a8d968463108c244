//! One engine as one guest's driver believes it to be: port, execlist, status buffer, ring.
//!
//! The four parts know nothing of memory or of the GPU; `submission` moves their events to the
//! guest. ELSP takes four dwords: element 1 high, low, element 0 high, low; the fourth acts.
//! Writes are counted, whoever makes them: two vCPUs that interleave theirs get the mixture, as on
//! hardware, and a driver that stopped in the middle is put right by its next reset.
//!
//! Two machines, each one `match`: [`list`] is what the guest is told, [`State`] what becomes of
//! the element that runs.

pub mod contract;
pub mod list;
pub mod status;

use gpu::spec::context::Descriptor;
use gpu::spec::engine;

use crate::shadow::{Slot, Work};
use contract::Contract;
use list::Execlist;
use status::StatusBuffer;

/// The submission port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Port {
    words: [u32; 4],
    count: u8,
}

impl Port {
    /// One write; element 0 and 1 after the fourth.
    pub fn write(&mut self, value: u32) -> Option<[Descriptor; 2]> {
        if let Some(word) = self.words.get_mut(usize::from(self.count)) {
            *word = value;
        }
        self.count += 1;
        if self.count < 4 {
            return None;
        }
        self.count = 0;
        let [high1, low1, high0, low0] = self.words;
        let descriptor = |high, low| Descriptor(u64::from(high) << 32 | u64::from(low));
        Some([descriptor(high0, low0), descriptor(high1, low1)])
    }
}

/// Ring registers as they read while nothing of the guest runs on the hardware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RingRegisters {
    pub head: u32,
    pub tail: u32,
    pub start: u32,
    pub control: u32,
    /// Header of the last command, when one was refused.
    pub header: u32,
}

/// What the running element's work does at the moment.
///
/// ```text
///  Idle --Started--> Preparing --Prepared--> Ready --Picked--> Running
///    ^                |    ^                                      |
///    +-----Ended------+    +--------------- Returned -------------+
///
///  Failed: from wherever there is work to Hung, until the guest resets the engine
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No element runs.
    Idle,
    /// The element waits to be copied and audited (further).
    Preparing,
    /// Audited; it waits for the engine.
    Ready,
    /// The engine executes it.
    Running,
    /// It will never go on: refused, or too long on the engine. The guest resets the engine.
    Hung,
}

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// An element began to run, as its guest sees it.
    Started,
    /// Its next piece is audited.
    Prepared,
    /// The engine got it.
    Picked,
    /// The engine is through with the piece.
    Returned,
    /// Its ring is executed to the tail.
    Ended,
    /// It was refused, or taken from the engine.
    Failed,
}

impl State {
    /// What comes next; none if that cannot happen now.
    const fn after(self, change: Change) -> Option<Self> {
        match (self, change) {
            (Self::Idle, Change::Started) => Some(Self::Preparing),
            (Self::Preparing, Change::Prepared) => Some(Self::Ready),
            (Self::Ready, Change::Picked) => Some(Self::Running),
            (Self::Running, Change::Returned) => Some(Self::Preparing),
            (Self::Preparing, Change::Ended) => Some(Self::Idle),
            (Self::Preparing | Self::Ready | Self::Running | Self::Hung, Change::Failed) => {
                Some(Self::Hung)
            }
            _ => None,
        }
    }
}

/// One engine of one guest.
#[derive(Debug)]
pub struct VirtualEngine {
    pub port: Port,
    pub list: Execlist,
    pub status: StatusBuffer,
    pub ring: RingRegisters,

    state: State,
    pub contract: Contract,
    /// The running element, once its image was read.
    pub work: Option<Work>,
    /// What the hardware executes it from.
    pub slot: Option<Slot>,
}

impl VirtualEngine {
    /// After reset: nothing runs, the next event goes to slot 0.
    pub const fn new() -> Self {
        Self {
            port: Port {
                words: [0; 4],
                count: 0,
            },
            list: Execlist::Idle,
            status: StatusBuffer::new(),
            ring: RingRegisters {
                head: 0,
                tail: 0,
                start: 0,
                control: 0,
                header: 0,
            },
            state: State::Idle,
            contract: Contract::new(),
            work: None,
            slot: None,
        }
    }

    /// What the running element's work does.
    pub const fn state(&self) -> State {
        self.state
    }

    /// Its work takes the next step.
    pub fn change(&mut self, change: Change) {
        match self.state.after(change) {
            Some(next) => self.state = next,
            None => debug_assert!(false, "{change:?} while {:?}", self.state),
        }
    }

    /// What the guest reads at `offset` from the engine's base, while the work's own progress
    /// (`executed` bytes of its ring) is known to the caller.
    pub fn read(&self, offset: u32, executed: u32) -> u32 {
        const ENTRIES_END: u32 = engine::CSB + 8 * gpu::spec::context::CSB_ENTRIES;
        let ring = self.work.map(|work| {
            let mut ring = work.ring;
            ring.consume(executed.min(ring.pending()));
            ring
        });
        let (head, tail, start, control) = match ring {
            Some(ring) => (
                ring.head_register(),
                ring.tail,
                ring.start.0 as u32,
                ring.control(),
            ),
            None => (
                self.ring.head,
                self.ring.tail,
                self.ring.start,
                self.ring.control,
            ),
        };
        match offset {
            engine::RING_HEAD => head,
            engine::RING_TAIL => tail,
            engine::RING_START => start,
            engine::RING_CTL => control,
            engine::ACTHD => ring.map_or(0, |ring| (ring.start.0 as u32).wrapping_add(ring.head)),
            engine::IPEHR => self.ring.header,
            engine::INSTDONE => !0,
            engine::EXECLIST_STATUS_LO => self.list.status().0,
            engine::EXECLIST_STATUS_HI => self.list.status().1,
            engine::CSB_POINTER => self.status.pointer(),
            engine::CSB..ENTRIES_END => self.status.dword((offset - engine::CSB) as usize / 4),
            _ => 0,
        }
    }

    /// The guest writes one of those registers.
    pub fn write(&mut self, offset: u32, value: u32) {
        match offset {
            engine::RING_HEAD => self.ring.head = value,
            engine::RING_TAIL => self.ring.tail = value,
            engine::RING_START => self.ring.start = value,
            engine::RING_CTL => self.ring.control = value,
            engine::CSB_POINTER => self.status.write_pointer(value),
            _ => {}
        }
    }

    /// After reset; what the hardware executed from stays.
    pub fn reset(&mut self) {
        self.contract.reset(&self.list);
        let Self {
            port,
            list,
            status,
            ring,
            state,
            work,
            slot,
            contract: _,
        } = self;
        if let Some(slot) = slot {
            slot.forget_large();
        }
        *port = Port::default();
        *list = Execlist::Idle;
        *status = StatusBuffer::new();
        *ring = RingRegisters::default();
        *state = State::Idle;
        *work = None;
    }

    /// The hardware executed what was ready; what follows is to be prepared.
    pub fn ran(&mut self) {
        if let Some(work) = &mut self.work {
            work.ran();
        }
        if let Some(slot) = &mut self.slot {
            slot.forget_large();
        }
        self.change(Change::Returned);
    }

    /// The work is over: the registers keep showing where its ring ended.
    pub fn finish(&mut self) {
        if let Some(work) = self.work.take() {
            self.ring = RingRegisters {
                head: work.ring.head_register(),
                tail: work.ring.tail,
                start: work.ring.start.0 as u32,
                control: work.ring.control(),
                header: 0,
            };
        }
        self.change(Change::Ended);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fourth_write_acts_and_the_last_two_are_element_0() {
        let mut port = Port::default();
        for round in 0..2 {
            assert_eq!(
                [1, 2, 3].map(|word| port.write(word)),
                [None; 3],
                "round {round}"
            );
            let pair = port.write(4);
            assert_eq!(
                pair,
                Some([Descriptor(3 << 32 | 4), Descriptor(1 << 32 | 2)])
            );
        }
    }

    #[test]
    fn ring_registers_are_plain_while_nothing_runs() {
        let mut engine = VirtualEngine::new();
        for (offset, value) in [(0x34, 0x40), (0x30, 0x48), (0x38, 0x1000), (0x3c, 0x3001)] {
            engine.write(offset, value);
            assert_eq!(engine.read(offset, 0), value);
        }
        engine.write(engine::CSB_POINTER, 0xffff_0505);
        assert_eq!(engine.read(engine::CSB_POINTER, 0), 0x505);
        engine.write(engine::EXECLIST_STATUS_HI, 1);
        assert_eq!(engine.read(engine::EXECLIST_STATUS_HI, 0), 0);
    }

    #[test]
    fn work_is_prepared_before_it_runs_and_what_hangs_stays() {
        let way = [
            (Change::Started, State::Preparing),
            (Change::Prepared, State::Ready),
            (Change::Picked, State::Running),
            (Change::Returned, State::Preparing),
            (Change::Ended, State::Idle),
        ];
        let mut state = State::Idle;
        for (change, next) in way {
            assert_eq!(state.after(change), Some(next));
            let failed = (state != State::Idle).then_some(State::Hung);
            assert_eq!(state.after(Change::Failed), failed);
            let others = way.into_iter().filter(|(other, _)| *other != change);
            for (other, _) in others {
                let preparing = state == State::Preparing;
                let end = preparing && matches!(other, Change::Prepared | Change::Ended);
                assert_eq!(
                    state.after(other).is_some(),
                    end,
                    "{other:?} while {state:?}"
                );
                assert_eq!(State::Hung.after(other), None);
            }
            state = next;
        }
    }
}
