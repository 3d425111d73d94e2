//! Training of the head: multinomial logistic regression on feature vectors.
//!
//! Features are taken to their square root and standardised, then a linear layer is fitted with Adam in
//! mini-batches. The learning rate falls along a cosine, labels are smoothed, weights decay (decoupled, as in AdamW),
//! the epoch with the lowest validation loss wins, and a temperature is fitted on the validation split. Standardisation
//! is folded into the head at the end. One thread, one random generator: the same seed gives the same head, bit by bit.
