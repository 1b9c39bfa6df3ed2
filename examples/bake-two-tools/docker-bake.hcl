group "default" {
  targets = ["tool"]
}

# two targets: hex and unhex
target "tool" {
  name      = tool
  matrix    = { tool = ["hex", "unhex"] }
  args      = { TOOL = tool }
  platforms = ["linux/amd64", "linux/arm64"]
}
