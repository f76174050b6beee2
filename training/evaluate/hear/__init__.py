"""The real HEAR tools, HEAR's tasks and its public leaderboard."""
