rabbitmqctl add_user shop change-me
rabbitmqctl set_permissions shop '^cyevents\.once\.shop$' '^(cyevents|cyevents-dead|amq\.default|cyevents\.(group|again|later|once)\.shop)$' '^(cyevents|cyevents-dead|cyevents\.(group|again|later|once)\.shop)$'
rabbitmqctl set_topic_permissions shop cyevents '^order\.' '^order\.'
rabbitmqctl set_topic_permissions shop cyevents-dead '^order\.' '^#$'
rabbitmqctl add_user billing change-me
rabbitmqctl set_permissions billing '^cyevents\.once\.billing$' '^(cyevents-dead|amq\.default|cyevents\.(group|again|later|once)\.billing)$' '^(cyevents|cyevents-dead|cyevents\.(group|again|later|once)\.billing)$'
rabbitmqctl set_topic_permissions billing cyevents '^$' '^order\.'
rabbitmqctl set_topic_permissions billing cyevents-dead '^order\.' '^#$'
