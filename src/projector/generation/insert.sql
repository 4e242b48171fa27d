-- A new generation: $1 projection, $2 number, $3 schema, $4 the folder's version, $5 fingerprint, $6 its files, $7 whether
-- it follows the log at once, $8 the events it is made for.
insert into projections.generations (projection, generation, schema_name, version, fingerprint, folder, follows, made_for)
values ($1, $2, $3, $4, $5, $6, $7, $8)
