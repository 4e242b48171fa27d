-- Whether requests can filter by a column of the main table.
select from {{table}} r where r.{{column}} = r.{{column}} and r.{{column}} < r.{{column}} and r.{{column}} >= r.{{column}}
