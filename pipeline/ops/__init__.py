"""What operators do: topics and schemas as code, assets."""
