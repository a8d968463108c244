//! What happened to one vGPU, by class. Never reset, so two readings give a rate.

/// What happened so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Accesses to configuration space.
    pub config: u64,
    /// Register reads, in dwords.
    pub register_reads: u64,
    /// Register writes, in dwords.
    pub register_writes: u64,
    /// Reads and writes of GTT entries.
    pub gtt: u64,
    /// Pages of GTT entries that were memory for a while.
    pub opened: u64,
    /// GTT entries that were changed there.
    pub bulk: u64,
    /// Accesses through the aperture.
    pub aperture: u64,
    /// Accesses that no register has a row for.
    pub untracked: u64,
    /// The first of their offsets; see `untracked_kept`.
    pub untracked_offsets: [u32; 16],
    /// How many of `untracked_offsets` are set.
    pub untracked_kept: u8,
    /// Accesses (or bytes of them) that no window holds.
    pub outside: u64,
    /// Things only a broken or hostile driver does: entries of others, denied registers.
    pub violations: u64,
    /// Guest pages that could not be pinned.
    pub unpinnable: u64,
    /// Interrupt messages sent.
    pub interrupts: u64,
    /// Interrupt messages that had to wait for the rate limit.
    pub interrupts_held: u64,
    /// Interrupts that had nowhere to go: MSI or bus mastering off.
    pub interrupts_lost: u64,
    /// Engine resets the guest asked for.
    pub resets: u64,
    /// PVINFO notifications.
    pub notifications: u64,
    /// Console lines left out.
    pub silenced: u64,
    /// Trapped writes to the guest's page tables, or to what was one.
    pub table_writes: u64,
    /// Execlist submissions.
    pub submissions: u64,
    /// Contexts that ran to their end.
    pub completions: u64,
    /// Submissions refused by an audit.
    pub refused: u64,
    /// Bytes audited.
    pub scanned_bytes: u64,
    /// Commands of running batches that the guest replaced, and so did we.
    pub rewritten: u64,
    /// Nanoseconds of GPU time, all engines.
    pub gpu_time: u64,
    /// Nanoseconds that runnable work waited.
    pub wait_time: u64,
}

impl Counters {
    /// Counts an access without a row and keeps its offset; whether it is a new one.
    pub(crate) fn count_untracked(&mut self, offset: u32) -> bool {
        self.untracked += 1;
        let kept = usize::from(self.untracked_kept);
        if self.first_untracked().contains(&offset) {
            return false;
        }
        let Some(place) = self.untracked_offsets.get_mut(kept) else {
            return false;
        };
        *place = offset;
        self.untracked_kept += 1;
        true
    }

    /// The first offsets without a row.
    pub fn first_untracked(&self) -> &[u32] {
        self.untracked_offsets
            .get(..usize::from(self.untracked_kept))
            .unwrap_or(&[])
    }
}
