"""Where things are in a body, from its CT alone: outline, skeleton, soft tissue, regions, joints."""
