//! Functions whose source is ciphertext on an OpenFaaS host, except while a caller with the key is
//! being served. Data flows one way: `spot` -> `head` -> `lease` -> `rebuild` -> `release`.
pub mod cli;
pub mod head;
pub mod release;
pub mod spot;
pub mod state;
