"""Stories of theft and of honest change, as data: what is stolen, how it is used, what is expected.

Promises: each story is a TOML file beside this one and says why it is expected to end as it does.
Does not promise: that thieves are like that; the files name where their numbers come from.
Fails how: a file that does not fit `story.Story` is an error that names it.
"""

from tokenward.lab.stories.story import Story, StoryError, load_stories, story_names

__all__ = ["Story", "StoryError", "load_stories", "story_names"]
