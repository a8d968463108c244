//! PVINFO as this mediator fills it, and what the guest tells us through it.
//!
//! Layout: `gpu::spec::pvinfo`. Reads are a function of the slice; the guest's writes go to a
//! handful of fields and nothing else. A message is consumed at once: the guest holds a mutex
//! around the pointers and the notification.

use gpu::Gpu;
use gpu::spec::pvinfo::{
    CAP_FULL_PPGTT, CAP_HUGE_GTT, CAP_HWSP_EMULATION, CAPS, CURSOR_X_HOT, CURSOR_Y_HOT,
    DISPLAY_READY, EXECLIST_DESCRIPTOR, FENCE_NUM, G2V_NOTIFY, MAGIC, MAGIC_HI, MAGIC_LO,
    MAPPABLE_BASE, MAPPABLE_SIZE, NONMAPPABLE_BASE, NONMAPPABLE_SIZE, PDP, VERSION, VGT_ID,
};

use crate::vgpu::Vgpu;
use crate::{Clock, Guests, Host, submission};

/// Version 1.0: major in the lower half.
const VERSION_1_0: u32 = 1;
/// Dwords of the four page-directory pointers and of the context descriptor behind them.
const POINTERS: usize = 10;

/// What the guest wrote.
#[derive(Debug, Default)]
pub struct Pvinfo {
    /// `pdp[0..4]`, then `execlist_context_descriptor`, low dwords first.
    pointers: [u32; POINTERS],
    /// `display_ready`: the probe succeeded.
    pub ready: bool,
}

/// The dword at `offset` of the page.
pub fn read(vgpu: &Vgpu, offset: u32) -> u32 {
    let slice = &vgpu.slice;
    // A GTT of 4 GiB ends at 2^32: its last slice has a size below that, so all values fit.
    match offset {
        MAGIC_LO => MAGIC as u32,
        MAGIC_HI => (MAGIC >> 32) as u32,
        VERSION => VERSION_1_0,
        VGT_ID => vgpu.domain.0.into(),
        CAPS if vgpu.config.huge_gtt => CAP_FULL_PPGTT | CAP_HWSP_EMULATION | CAP_HUGE_GTT,
        CAPS => CAP_FULL_PPGTT | CAP_HWSP_EMULATION,
        MAPPABLE_BASE => slice.mappable.start().0 as u32,
        MAPPABLE_SIZE => slice.mappable.length() as u32,
        NONMAPPABLE_BASE => slice.nonmappable.start().0 as u32,
        NONMAPPABLE_SIZE => slice.nonmappable.length() as u32,
        FENCE_NUM => slice.fences.count.into(),
        DISPLAY_READY => vgpu.pvinfo.ready.into(),
        CURSOR_X_HOT | CURSOR_Y_HOT => !0,
        _ => pointer(offset)
            .and_then(|at| vgpu.pvinfo.pointers.get(at))
            .copied()
            .unwrap_or(0),
    }
}

/// The guest writes a dword of the page.
pub fn write<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    offset: u32,
    value: u32,
) {
    match offset {
        DISPLAY_READY => {
            let ready = value != 0;
            if ready && !vgpu.pvinfo.ready {
                let now = host.clock.now();
                vgpu.report(now, log::Level::Info, format_args!("driver: ready"));
            }
            vgpu.pvinfo.ready = ready;
        }
        G2V_NOTIFY => {
            vgpu.counters.notifications += 1;
            let [low, high, ..] = vgpu.pvinfo.pointers;
            submission::notify(host, vgpu, value, u64::from(high) << 32 | u64::from(low));
        }
        _ => match pointer(offset).and_then(|at| vgpu.pvinfo.pointers.get_mut(at)) {
            Some(pointer) => *pointer = value,
            None => {
                let now = host.clock.now();
                vgpu.violation(
                    now,
                    format_args!("pvinfo: write of {value:#x} at {offset:#x}"),
                );
            }
        },
    }
}

/// Position in [`Pvinfo::pointers`].
fn pointer(offset: u32) -> Option<usize> {
    const { assert!(EXECLIST_DESCRIPTOR == PDP + 0x20) };
    offset
        .checked_sub(PDP)
        .map(|bytes| bytes as usize / 4)
        .filter(|&at| at < POINTERS)
}
