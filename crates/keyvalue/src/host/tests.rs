//! Each draft, asked as a guest would ask it.
