-- What follows is undone, whether it fails or not.
savepoint trial
