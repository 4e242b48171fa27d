-- What the migrator makes belongs to the owner.
set role annals_owner
