-- Writes what is dirty to the disk, so that what was done before does not slow down what is measured next.
checkpoint
