//! The aperture (BAR2): a CPU's view of low graphics memory through the guest's own GTT entries.
//!
//! With the software GPU each access traps and is resolved here, page by page, through a fence if
//! one covers it. A real aperture is shown to the guest without traps, its slice only
//! ([`map_slice`]); the device then does the same resolving.

use gpu::{DmaPage, Gpu, GraphicsAddress};

use crate::partition::Slice;
use crate::vgpu::Vgpu;
use crate::{Clock, DomainId, GuestFrame, Guests, Host, PageError, registers};

/// Bytes that stay together under every tiling.
pub const GROUP: u64 = 16;

/// Reads or writes bytes of one group. Unmapped ones read 0, and ignore writes.
pub fn access<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    vgpu: &mut Vgpu,
    address: GraphicsAddress,
    bytes: &mut [u8],
    write: bool,
) {
    let place = if vgpu.slice.mappable.contains(address, bytes.len() as u64) {
        let place = match registers::fence_at(vgpu, address) {
            Some(tiling) => tiling.locate(address),
            None => address,
        };
        vgpu.gtt
            .translate(place)
            .map(|(_, page)| page.at(place.offset()))
    } else {
        let now = host.clock.now();
        vgpu.violation(
            now,
            format_args!("aperture: {:#x} is not its own", address.0),
        );
        None
    };
    let result = match place {
        Some(place) if write => host.guests.write(place, bytes),
        Some(place) => host.guests.read(place, bytes),
        None => {
            if !write {
                bytes.fill(0);
            }
            return;
        }
    };
    if let Err(fault) = result {
        let now = host.clock.now();
        vgpu.warn(now, format_args!("aperture: {:#x}: {fault}", address.0));
        if !write {
            bytes.fill(0);
        }
    }
}

/// Places the slice of a real aperture at a guest frame without traps, or takes it away; false if
/// there is no real aperture.
pub fn map_slice<G: Gpu, H: Guests, C: Clock>(
    host: &mut Host<G, H, C>,
    domain: DomainId,
    slice: &Slice,
    at: GuestFrame,
    on: bool,
) -> Result<bool, PageError> {
    let Some(DmaPage(aperture)) = host.aperture else {
        return Ok(false);
    };
    let first = DmaPage(aperture + u64::from(slice.mappable.first));
    host.guests
        .map_frames(domain, at, first, slice.mappable.count.into(), on)?;
    Ok(true)
}
