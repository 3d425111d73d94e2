# What is refused before anything is created.

mock_provider "openstack" {
  mock_data "openstack_images_image_ids_v2" {
    defaults = { ids = ["11111111-1111-4111-8111-111111111111"] }
  }
  mock_data "openstack_compute_flavor_v2" {
    defaults = { id = "22222222-2222-4222-8222-222222222222" }
  }
  mock_data "openstack_compute_quotaset_v2" {
    defaults = { instances = 3, cores = 12, ram = 24576 }
  }
}

variables {
  suffix    = "test"
  ssh_cidrs = ["198.51.100.7/32"]
}

run "suffix" {
  command = plan
  variables {
    suffix = "Not_A_Name"
  }
  expect_failures = [var.suffix]
}

run "an_even_number_of_control_planes" {
  command = plan
  variables {
    nodes = { node1 = { address = "192.168.1.11" }, node2 = { address = "192.168.1.12" } }
  }
  expect_failures = [var.nodes]
}

run "one_address_twice" {
  command = plan
  variables {
    nodes = {
      node1 = { address = "192.168.1.11" }
      node2 = { address = "192.168.1.11", role = "worker" }
    }
  }
  expect_failures = [var.nodes]
}

run "a_role_that_there_is_not" {
  command = plan
  variables {
    nodes = { node1 = { address = "192.168.1.11", role = "master" } }
  }
  expect_failures = [var.nodes]
}

run "an_address_outside_the_subnet" {
  command = plan
  variables {
    nodes = { node1 = { address = "192.168.2.11" } }
  }
  expect_failures = [terraform_data.checks]
}

run "an_address_that_the_cloud_keeps" {
  command = plan
  variables {
    nodes = { node1 = { address = "192.168.1.200" } }
  }
  expect_failures = [terraform_data.checks]
}

run "nobody_could_log_in" {
  command = plan
  variables {
    ssh_cidrs = []
  }
  expect_failures = [terraform_data.checks]
}

run "more_servers_than_the_quota_has" {
  command = plan
  variables {
    nodes = {
      node1 = { address = "192.168.1.11" }
      node2 = { address = "192.168.1.12" }
      node3 = { address = "192.168.1.13" }
      node4 = { address = "192.168.1.14", role = "worker" }
    }
  }
  expect_failures = [terraform_data.checks]
}

run "an_image_that_there_is_not" {
  command = plan
  override_data {
    target = data.openstack_images_image_ids_v2.by_name
    values = { ids = [] }
  }
  expect_failures = [terraform_data.checks]
}

run "a_private_key_by_mistake" {
  command = plan
  variables {
    ssh_public_key = "-----BEGIN OPENSSH PRIVATE KEY-----"
  }
  expect_failures = [var.ssh_public_key]
}
