-- Whether requests can sort by a column of the main table.
select from {{table}} r order by r.{{column}}
