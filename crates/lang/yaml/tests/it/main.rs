//! What other rooms rely on: values, places, complaints, edits, and the round trip.

mod edits;
mod laws;
mod places;
mod reading;
