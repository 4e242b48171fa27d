-- A transaction in the place of one in which a statement failed.
rollback;
begin read only
