//! What every policy must satisfy, as functions that a policy's own tests call.
