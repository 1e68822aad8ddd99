//! The log on a real `PostgreSQL`: its order under adversaries, and what becomes of it when something breaks.

mod between;
mod disk;
mod faults;
mod history;
mod late;
mod silence;
mod statements;
mod suite;
mod torture;
mod writers;
