//! All rows, and how a header finds its own: two look-ups, no search.
//!
//! Client 0 is indexed by its six opcode bits, client 2 by its seven. Client 3 has thirteen, of
//! which few values are taken: bits 28:24 choose a page of 256 entries for bits 23:16. The render
//! engine and the two video engines use the same numbers for different commands, so each engine
//! class has pages of its own.

use super::{Command, Engine, Shape, blitter, interface, media, render, video};

const FAMILIES: [&[Command]; 5] = [
    interface::COMMANDS,
    blitter::COMMANDS,
    media::COMMANDS,
    render::COMMANDS,
    video::COMMANDS,
];

const COUNT: usize = {
    let (mut family, mut count) = (0, 0);
    while family < FAMILIES.len() {
        count += FAMILIES[family].len();
        family += 1;
    }
    count
};

/// Every command that any engine of Gen9 knows.
pub static COMMANDS: [Command; COUNT] = {
    let mut rows = [interface::COMMANDS[0]; COUNT];
    let (mut family, mut next) = (0, 0);
    while family < FAMILIES.len() {
        let mut row = 0;
        while row < FAMILIES[family].len() {
            rows[next] = FAMILIES[family][row];
            next += 1;
            row += 1;
        }
        family += 1;
    }
    rows
};

/// Row number plus one; zero is no row.
type Entry = u16;

/// Engine classes with client 3 commands of their own: render, video, enhancement.
const CLASSES: usize = 3;

const fn class(engine: Engine) -> usize {
    match engine {
        // BCS has no client 3 commands; its set of engines sorts render's out.
        Engine::Rcs | Engine::Bcs => 0,
        Engine::Vcs => 1,
        Engine::Vecs => 2,
    }
}

const fn class_engine(class: usize) -> Engine {
    match class {
        0 => Engine::Rcs,
        1 => Engine::Vcs,
        _ => Engine::Vecs,
    }
}

const fn client(header: u32) -> u32 {
    header >> 29
}

static INTERFACE: [Entry; 64] = index_client(0, 23);
static BLITTER: [Entry; 128] = index_client(2, 22);

/// Bits below 29 from `shift` up, as a position.
const fn index_client<const N: usize>(wanted: u32, shift: u32) -> [Entry; N] {
    let mut entries = [0; N];
    let mut row = 0;
    while row < COUNT {
        let opcode = COMMANDS[row].opcode;
        if client(opcode) == wanted {
            let position = (opcode >> shift) as usize % N;
            assert!(entries[position] == 0, "two rows with one opcode");
            entries[position] = row as Entry + 1;
        }
        row += 1;
    }
    entries
}

/// Which page of [`PIPELINE`] serves (class, bits 28:24); zero is the empty page.
const PAGE_OF: ([[u8; 32]; CLASSES], usize) = {
    let mut pages = [[0; 32]; CLASSES];
    let mut count = 1;
    let mut row = 0;
    while row < COUNT {
        let opcode = COMMANDS[row].opcode;
        let mut class = 0;
        while client(opcode) == 3 && class < CLASSES {
            let group = (opcode >> 24 & 31) as usize;
            if COMMANDS[row].engines.contains(class_engine(class)) && pages[class][group] == 0 {
                pages[class][group] = count as u8;
                count += 1;
            }
            class += 1;
        }
        row += 1;
    }
    (pages, count)
};

static PAGES: [[u8; 32]; CLASSES] = PAGE_OF.0;

static PIPELINE: [[Entry; 256]; PAGE_OF.1] = {
    let mut entries = [[0; 256]; PAGE_OF.1];
    let mut row = 0;
    while row < COUNT {
        let opcode = COMMANDS[row].opcode;
        let mut class = 0;
        while client(opcode) == 3 && class < CLASSES {
            if COMMANDS[row].engines.contains(class_engine(class)) {
                let page = PAGE_OF.0[class][(opcode >> 24 & 31) as usize] as usize;
                let position = (opcode >> 16 & 0xff) as usize;
                assert!(entries[page][position] == 0, "two rows with one opcode");
                entries[page][position] = row as Entry + 1;
            }
            class += 1;
        }
        row += 1;
    }
    entries
};

/// Shapes by [`Entry`], the first one of no command.
static SHAPES: [Shape; COUNT + 1] = {
    let mut shapes = [Shape::NONE; COUNT + 1];
    let mut row = 0;
    while row < COUNT {
        shapes[row + 1] = Shape::of(&COMMANDS[row], row);
        row += 1;
    }
    shapes
};

/// The shape of a header, if it is one of the engine's class; whether the engine itself knows it
/// is for the caller to ask.
#[inline]
pub(super) fn shape(engine: Engine, header: u32) -> &'static Shape {
    let entry = match client(header) {
        0 => INTERFACE[(header >> 23 & 63) as usize],
        2 => BLITTER[(header >> 22 & 127) as usize],
        3 => {
            let page = PAGES[class(engine)][(header >> 24 & 31) as usize];
            PIPELINE
                .get(usize::from(page))
                .map_or(0, |page| page[(header >> 16 & 0xff) as usize])
        }
        _ => 0,
    };
    SHAPES.get(usize::from(entry)).unwrap_or(&Shape::NONE)
}

/// The row of a header on one engine.
#[inline]
pub(super) fn find(engine: Engine, header: u32) -> Option<&'static Command> {
    let shape = shape(engine, header);
    if shape.known_to(engine) {
        shape.command()
    } else {
        None
    }
}

const _: () = assert!(COUNT < Entry::MAX as usize);
