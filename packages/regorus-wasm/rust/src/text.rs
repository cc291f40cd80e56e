//! Text and bytes between the module and its host.

use core::cell::RefCell;

/// What a call came to; the loader has the same numbers.
pub const OK: u32 = 0;
pub const UNDEFINED: u32 = 1;
pub const ERROR: u32 = 2;
pub const TIMEOUT: u32 = 3;

/// What lies where after a call; the loader has the same numbers.
pub const RESULT: usize = 0;
pub const PRINTS: usize = 1;
pub const RUST_DEBUG: usize = 2;

thread_local! {
    static TEXTS: RefCell<[Vec<u8>; 3]> = const { RefCell::new([Vec::new(), Vec::new(), Vec::new()]) };
}

pub fn tell(which: usize, bytes: impl Into<Vec<u8>>) {
    TEXTS.with(|t| t.borrow_mut()[which] = bytes.into());
}

pub fn answer(status: u32, bytes: impl Into<Vec<u8>>) -> u32 {
    tell(RESULT, bytes);
    status
}

/// The text at `ptr`. The loader encodes it, so it is UTF-8; anything else is a bug there and ends the instance.
pub fn text<'a>(ptr: *const u8, len: usize) -> &'a str {
    core::str::from_utf8(bytes(ptr, len)).expect("UTF-8")
}

pub fn bytes<'a>(ptr: *const u8, len: usize) -> &'a [u8] {
    if len == 0 {
        return &[];
    }
    // SAFETY: the loader passes memory from `alloc` that it filled with `len` bytes.
    unsafe { core::slice::from_raw_parts(ptr, len) }
}

#[no_mangle]
pub extern "C" fn alloc(len: usize) -> *mut u8 {
    let mut block = Vec::<u8>::with_capacity(len.max(1));
    let ptr = block.as_mut_ptr();
    core::mem::forget(block);
    ptr
}

#[no_mangle]
pub extern "C" fn dealloc(ptr: *mut u8, len: usize) {
    // SAFETY: the pair is one that `alloc` gave out.
    drop(unsafe { Vec::from_raw_parts(ptr, 0, len.max(1)) });
}

#[no_mangle]
pub extern "C" fn text_ptr(which: usize) -> *const u8 {
    TEXTS.with(|t| t.borrow()[which].as_ptr())
}

#[no_mangle]
pub extern "C" fn text_len(which: usize) -> usize {
    TEXTS.with(|t| t.borrow()[which].len())
}
