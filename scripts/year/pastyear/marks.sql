INSERT INTO dirty_days (day, source, position, marked_at)
SELECT arrayJoin({days:Array(Date)}), concat('usage/', {topic:String}, '/', toString(number)), intDiv({offset:Int64}, 6), now64(3, 'UTC') FROM numbers(6)
