-- Ends a transaction in which a statement failed, so that each statement after it stands alone.
rollback
