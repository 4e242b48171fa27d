-- Gives the comparison of a rebuild ($1) the names that its fields had before they were `parked`.
update projections.rebuilds
set comparison = comparison - array['parked', 'parked_count', 'parks_more']
    || jsonb_build_object('set_apart', comparison -> 'parked', 'set_apart_count', comparison -> 'parked_count',
                          'sets_more_apart', comparison -> 'parks_more')
where id = $1
