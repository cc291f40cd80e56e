//! A plain C ABI over regorus for one WebAssembly instance: its interpreter, its compiler and its register machine.
//!
//! Text crosses as UTF-8 in memory that the host got from `alloc`; what a call has to say lies at `text_ptr(n)` and
//! `text_len(n)` until the next call. Every call that takes a handle trusts it: the only host is the loader in
//! `../src/`, which owns the instance.

mod builtin;
mod code;
mod explain;
mod host;
mod interpreter;
mod machine;
mod program;
mod run;
mod sound;
mod source;
mod text;
