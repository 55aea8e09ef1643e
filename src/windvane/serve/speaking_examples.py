"""Four transcripts to try the page with, one a part, written for it: nobody said them and they are no model answers."""

EXAMPLES = {
    1: """\
Examiner: Where do you live?
Candidate: I live in Nagpur. It is a big city in the middle of India, and it is famous for oranges.
Examiner: What do you like about it?
Candidate: I like that there are many gardens where people walk in the evening. My friends and me often go to the lake because it is cooler there.
Examiner: Do you prefer to study alone or with other people?
Candidate: I prefer to study with my sister, although we sometimes talk too much. If I study alone, I look at my phone every ten minutes.
Examiner: What would you like to do in the future?
Candidate: I would like to become a vet, since I have always been good with animals. However, I know that it takes many years and it is not easy.""",
    2: """\
Part 2
Photo 1: Two people repair a bicycle in a small workshop.
Photo 2: A woman works at a computer in a bright office.
Examiner: Here are your photographs. They show people at work in different places. Compare them, and say which work is more satisfying.
Candidate: Both pictures show people who are working. In the first one there are two men in a workshop and they repair a bicycle, whereas in the second picture a woman sits alone in front of a computer. The workshop looks a bit dirty, but the men seem to enjoy their work, perhaps because they use their hands. On the other hand, the woman has a clean and quiet place, although she might feel bored. In my opinion the first job is more satisfying, since at the end of the day you can see what you have done.
Examiner: Which job would you like?
Candidate: I think I would choose the office, because I am not very good with tools.""",
    3: """\
Part 3
Examiner: A town wants more visitors. Talk together about how these ideas could help: a festival, a museum, bicycle paths, a market, a park.
Candidate: Shall we start with the festival? I think it could bring a lot of people, but only for a few days.
Partner: Yes, and it is expensive.
Candidate: That's true. So what about bicycle paths? They are useful for visitors and for the people who live there.
Partner: Maybe, but who comes to a town for bicycle paths?
Candidate: Good point. You mean that nobody travels far for that. A market is different, because you can taste local food, as you said before about festivals.
Partner: I like the market. And the museum?
Candidate: Museums are interesting when it rains! But young people might not agree. Don't you think the market is better for families?
Examiner: Now decide which two ideas are best.
Candidate: I would say the market and the park, since they cost less and work the whole year. Do you agree?
Partner: Yes, I agree.""",
    4: """\
Part 4
Examiner: Do you think tourism is always good for a town?
Candidate: Not always. Tourism brings jobs and money, but prices can rise, so that people who were born there have to move away.
Examiner: What can be done about that?
Candidate: The town could limit how many flats are rented to visitors. I read about a city which did this, and although the owners complained, rents stopped rising.
Examiner: Some people say that we should travel less. What is your view?
Candidate: I partly agree. Flying a lot harms the climate, and we could discover places near our home instead. However, meeting people from other countries changes how we think, which is why I would not give it up completely.
Examiner: Is it important to learn about the history of a place?
Candidate: Yes, because otherwise you only take photos. When you know what happened there, you understand why people live as they do.""",
}
