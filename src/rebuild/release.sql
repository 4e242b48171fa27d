-- Leaves what this process ($1) carried on to others at once.
update projections.rebuilds set holder = null, leased_until = null where holder = $1
