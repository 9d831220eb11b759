#![doc = "End-to-end tests and what they share."]
