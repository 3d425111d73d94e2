# The configuration's logic, with a provider that is made up: nothing is created and no cloud is asked.
# Needs the provider's program for its schema, OpenTofu 1.8 or Terraform 1.7.

mock_provider "openstack" {
  mock_data "openstack_images_image_ids_v2" {
    defaults = { ids = ["11111111-1111-4111-8111-111111111111"] }
  }
  mock_data "openstack_compute_flavor_v2" {
    defaults = { id = "22222222-2222-4222-8222-222222222222" }
  }
  mock_data "openstack_compute_quotaset_v2" {
    defaults = { instances = 10, cores = 40, ram = 100000 }
  }
  mock_data "openstack_networking_network_v2" {
    defaults = { id = "33333333-3333-4333-8333-333333333333" }
  }
  mock_data "openstack_networking_secgroup_v2" {
    defaults = { id = "44444444-4444-4444-8444-444444444444" }
  }
  mock_resource "openstack_networking_port_v2" {
    defaults = { all_fixed_ips = ["10.56.0.7"] }
  }
  mock_resource "openstack_networking_floatingip_v2" {
    defaults = { address = "203.0.113.9" }
  }
}

variables {
  suffix    = "test"
  ssh_cidrs = ["198.51.100.7/32"]
}

run "three_control_planes" {
  command = apply

  assert {
    condition     = length(openstack_compute_instance_v2.node) == 3 && length(openstack_networking_port_v2.private) == 3
    error_message = "Three servers with a private port each."
  }
  assert {
    condition     = openstack_compute_instance_v2.node["node2"].name == "node2-gourmetgram-test"
    error_message = "A server's name is the node's name, the project's and the suffix."
  }
  assert {
    condition     = openstack_networking_port_v2.private["node3"].fixed_ip[0].ip_address == "192.168.1.13"
    error_message = "The private address is the one asked for."
  }
  assert {
    condition     = output.floating_ip == "203.0.113.9" && output.nodes["node1"].floating_ip == "203.0.113.9" && output.nodes["node2"].floating_ip == null
    error_message = "The floating IP is the first node's."
  }
  assert {
    condition     = output.inventory.kube_control_plane.hosts == tolist(["node1", "node2", "node3"]) && length(output.inventory.kube_worker.hosts) == 0
    error_message = "All three are control planes in the inventory."
  }
  assert {
    condition     = length(openstack_networking_secgroup_rule_v2.ingress) == 5
    error_message = "A rule for ssh and one for each of the four ports of the application."
  }
  assert {
    condition     = openstack_networking_secgroup_rule_v2.ingress["22 from 198.51.100.7/32"].remote_ip_prefix == "198.51.100.7/32"
    error_message = "ssh comes in from the range given, and from nowhere else."
  }
  assert {
    condition     = openstack_networking_subnet_v2.private.allocation_pool[*].start == tolist(["192.168.1.191"])
    error_message = "The cloud's own ports get addresses that no node has."
  }
  assert {
    condition     = yamldecode(openstack_compute_instance_v2.node["node1"].user_data).hostname == "node1"
    error_message = "The user data is YAML and names the server."
  }
}

run "a_gpu_node_is_one_entry_more" {
  command = plan

  variables {
    nodes = {
      node1 = { address = "192.168.1.11" }
      node2 = { address = "192.168.1.12" }
      node3 = { address = "192.168.1.13" }
      gpu1  = { address = "192.168.1.14", role = "gpu", flavor = "g1.h100.pci.1" }
    }
  }

  assert {
    condition     = length(openstack_compute_instance_v2.node) == 4 && output.inventory.kube_gpu.hosts == tolist(["gpu1"])
    error_message = "A fourth server, in the group of GPU nodes."
  }
  assert {
    condition     = !strcontains(openstack_compute_instance_v2.node["node1"].user_data, "gpu1")
    error_message = "The other servers' user data does not know of it."
  }
}

run "existing_groups_and_a_lease" {
  command = plan

  variables {
    security_groups = ["allow-ssh", "allow-http-80"]
    ssh_cidrs       = []
    reservation_id  = "55555555-5555-4555-8555-555555555555"
    ssh_public_key  = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBVFkIuMMsaGDkzJqGZVzNuzAeZZFkrpGySvvLzMZrPP you@laptop"
  }

  assert {
    condition     = length(openstack_networking_secgroup_v2.this) == 0 && length(openstack_networking_secgroup_rule_v2.ingress) == 0
    error_message = "No group is created where existing ones are named."
  }
  assert {
    condition     = join(",", keys(data.openstack_compute_flavor_v2.this)) == "55555555-5555-4555-8555-555555555555"
    error_message = "The leased flavour has the reservation's id."
  }
  assert {
    condition     = length(openstack_compute_keypair_v2.this) == 1
    error_message = "A key pair is made from the public key."
  }
}

run "hosts_leased_whole" {
  command = plan

  variables {
    host_reservation_id = "66666666-6666-4666-8666-666666666666"
    spread              = false
  }

  assert {
    condition     = one(openstack_compute_instance_v2.node["node1"].scheduler_hints).additional_properties["reservation"] == "66666666-6666-4666-8666-666666666666"
    error_message = "The scheduler gets the reservation as a hint."
  }
}
