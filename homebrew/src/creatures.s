; Creatures: they come with the screen's right edge, do what their kind does, and meet the hero.

.include "memory.inc"

COMES      = 18 ; columns from the screen's left edge to where creatures come
FAR_LEFT   = 80 ; pixels left of the screen where they are forgotten
FLAT_FRAMES = 30
STOMP_POINTS = 1 ; 100

BOX_TOP    = 10 ; of a creature's box, below its place; it is 24 high
BOX        = 24
NEAR_X     = 11
HEAD_SMALL = 19 ; of the hero
HEAD_TALL  = 6
STOMP_DEPTH = 20 ; his feet are above this

WALK_SPEED = .lobyte(-8)
HOP_SPEED_X = .lobyte(-12)
HOP_SPEED  = .lobyte(-4)
HOP_PAUSE  = 32
HOP_GRAVITY = $28
GRAVITY    = $40
FALL_MAX   = 3

PLANT_RISE = 24 ; frames, a pixel each
PLANT_STAY = 48
PLANT_NEAR = 32 ; it stays in when he is so near

WASP_RISE  = 48 ; frames, half a pixel each

EMBER_SPEED = .lobyte(-6)
EMBER_GRAVITY = $22
EMBER_PAUSE = 60

.segment "CODE"

; Brings in the creatures whose column has come.
spawn_entities:
  ldy #0
  lda (entity_list), y
  cmp #$FF
  beq @done
  sta t0
  lda edge ; the column at the screen's left edge
  lsr
  lsr
  lsr
  lsr
  sta t1
  lda edge_page
  asl
  asl
  asl
  asl
  ora t1
  clc
  adc #COMES
  cmp t0
  bcc @done
  jsr spawn
  lda entity_list
  clc
  adc #4
  sta entity_list
  bcc spawn_entities
  inc entity_list + 1
  bne spawn_entities ; always
@done:
  rts

; Puts the first of the list into a free object; without one it does not come.
spawn:
  ldy #3
  lda (entity_list), y
  ldx #SPECIAL
  cmp #TYPE_FLAG
  beq @place
  ldx #1
: ldy obj_active, x
  beq @place
  inx
  cpx #SPECIAL
  bne :-
  rts
@place:
  sta obj_type, x
  ldy #0
  lda (entity_list), y
  pha
  asl
  asl
  asl
  asl
  iny
  ora (entity_list), y
  sta obj_x, x
  pla
  lsr
  lsr
  lsr
  lsr
  sta obj_x_page, x
  iny
  lda (entity_list), y
  sta obj_y, x
  sta obj_home, x
  lda #1
  sta obj_y_page, x
  sta obj_active, x
  lda #0
  sta obj_air, x
  sta obj_timer, x
  sta obj_x_sub, x
  sta obj_y_sub, x
  sta obj_y_frac, x
  sta obj_y_speed, x
  lda #LEFT
  sta obj_dir, x
  lda #WALK_SPEED
  sta obj_x_speed, x
  lda obj_type, x
  cmp #TYPE_FLAG
  bne :+
  lda obj_x, x ; hangs on the left of the pole
  sec
  sbc #9
  sta obj_x, x
  bcs :+
  dec obj_x_page, x
: rts

update_creatures:
  ldx #SPECIAL - 1
@object:
  lda obj_active, x
  beq @next
  lda obj_air, x
  cmp #FLAT
  beq @flat
  jsr act
  jsr leave_when_far
  lda obj_active, x
  beq @next
  lda player_state
  cmp #STATE_PLAY
  bne @next
  jsr meets_player
  bcc @next
  jsr meet
  jmp @next
@flat:
  dec obj_timer, x
  bne @next
  lda #0
  sta obj_active, x
@next:
  dex
  bne @object
  rts

; What its kind does.
act:
  lda obj_type, x
  cmp #TYPE_CAREFUL
  beq careful
  cmp #TYPE_FROG
  beq frog
  cmp #TYPE_WASP
  beq wasp
  cmp #TYPE_PLANT
  bne :+
  jmp plant
: cmp #TYPE_EMBER
  bne beetle
  jmp ember

beetle:
  jsr walk
  lda #GRAVITY
  ldy #FALL_MAX
  jmp fall_and_land

; Turns where the ground ends.
careful:
  jsr beetle
  lda obj_y_speed, x
  bne @done
  lda #12
  ldy obj_dir, x
  cpy #RIGHT
  beq :+
  lda #3
: ldy #BOX
  jsr probe_solid
  bcs @done
  jmp turn
@done:
  rts

frog:
  lda obj_air, x
  bne @hops
  inc obj_timer, x
  lda obj_timer, x
  cmp #HOP_PAUSE
  bcc @stays
  lda #0
  sta obj_timer, x
  sta obj_y_frac, x
  lda #HOP_SPEED
  sta obj_y_speed, x
  lda #AIR_JUMP
  sta obj_air, x
  lda obj_dir, x
  cmp #RIGHT
  beq :+
  lda #HOP_SPEED_X
  sta obj_x_speed, x
  rts
: lda #.lobyte(-HOP_SPEED_X)
  sta obj_x_speed, x
  rts
@hops:
  jsr walk
@stays:
  lda #HOP_GRAVITY
  ldy #FALL_MAX
  jmp fall_and_land

; Up and down; obj_air says which.
wasp:
  lda frame
  lsr
  bcs @turn
  inc obj_y, x
  lda obj_air, x
  bne @turn
  dec obj_y, x
  dec obj_y, x
@turn:
  inc obj_timer, x
  lda obj_timer, x
  cmp #WASP_RISE
  bcc @done
  lda #0
  sta obj_timer, x
  lda obj_air, x
  eor #1
  sta obj_air, x
@done:
  rts

; Up, waits, down, waits. obj_air says which; with him near, it does not come up.
plant:
  lda obj_air, x
  lsr
  bcs @moves
  lda obj_timer, x
  beq :+
  dec obj_timer, x
  rts
: lda obj_air, x
  bne @start
  jsr player_distance
  cmp #PLANT_NEAR
  bcc @done
@start:
  inc obj_air, x
  lda #PLANT_RISE
  sta obj_timer, x
@done:
  rts
@moves:
  lda obj_air, x
  and #2
  bne :+
  dec obj_y, x
  dec obj_y, x
: inc obj_y, x
  dec obj_timer, x
  bne @done
  lda obj_air, x
  clc
  adc #1
  and #3
  sta obj_air, x
  lda #PLANT_STAY
  sta obj_timer, x
  rts

; Leaps, falls back into the lava, waits.
ember:
  lda obj_timer, x
  beq @flies
  dec obj_timer, x
  bne @done
  lda #EMBER_SPEED
  sta obj_y_speed, x
  lda #0
  sta obj_y_frac, x
@done:
  rts
@flies:
  lda #EMBER_GRAVITY
  ldy #4
  jsr fall
  jsr move_y
  lda obj_y_speed, x
  bmi @done
  lda obj_y, x
  cmp obj_home, x
  bcc @done
  lda obj_home, x
  sta obj_y, x
  lda #EMBER_PAUSE
  sta obj_timer, x
  rts

; Moves it along x; at a wall it turns.
walk:
  jsr move_x
  lda #13
  ldy obj_dir, x
  cpy #RIGHT
  beq :+
  lda #2
: ldy #16
  jsr probe_solid
  bcs turn
  rts
turn:
  lda obj_dir, x
  eor #LEFT | RIGHT
  sta obj_dir, x
  lda #0
  sec
  sbc obj_x_speed, x
  sta obj_x_speed, x
  rts

; Moves it along y under gravity A, up to Y pixels a frame; what is below its feet holds it.
fall_and_land:
  jsr fall
  jsr move_y
  lda obj_y_speed, x
  bmi @done
  lda #4
  ldy #BOX
  jsr probe_solid
  bcs @land
  lda #11
  ldy #BOX
  jsr probe_solid
  bcs @land
@done:
  rts
@land:
  lda obj_y, x
  clc
  adc #BOX
  and #$F0
  sec
  sbc #BOX
  sta obj_y, x
  lda #0
  sta obj_y_speed, x
  sta obj_y_frac, x
  sta obj_y_sub, x
  sta obj_air, x
  rts

; Forgets it when it is below the screen, or far left of it.
leave_when_far:
  lda obj_y_page, x
  cmp #2
  bcs @leave
  lda obj_x, x
  clc
  adc #FAR_LEFT
  sta t0
  lda obj_x_page, x
  adc #0
  sta t1
  lda t0
  cmp edge
  lda t1
  sbc edge_page
  bcs @done
@leave:
  lda #0
  sta obj_active, x
@done:
  rts

; A = how far its x is from the hero's, 255 at most.
player_distance:
  lda obj_x
  sec
  sbc obj_x, x
  tay
  lda obj_x_page
  sbc obj_x_page, x
  beq @right ; the hero is on its right
  cmp #$FF
  bne @far
  tya
  beq @far
  eor #$FF
  clc
  adc #1
  rts
@right:
  tya
  rts
@far:
  lda #$FF
  rts

; Carry is set if its box and the hero's overlap.
meets_player:
  jsr player_distance
  cmp #NEAR_X
  bcs @no
  lda obj_y_page
  cmp #1
  bne @no
  lda obj_y, x
  clc
  adc #BOX_TOP
  bcs @no ; below the screen
  sta t0
  lda obj_y ; feet below its top
  clc
  adc #32
  bcs :+
  cmp t0
  bcc @no
  beq @no
: lda obj_y, x ; head above its feet
  clc
  adc #BOX
  bcs @yes
  sta t0
  lda #HEAD_SMALL
  ldy power
  beq :+
  lda #HEAD_TALL
: clc
  adc obj_y
  bcs @no
  cmp t0
  bcs @no
@yes:
  sec
  rts
@no:
  clc
  rts

; They meet: he stamps on it, or it harms him.
meet:
  lda obj_type, x
  cmp #TYPE_FROG
  beq @soft
  cmp #TYPE_BEETLE
  beq @soft
  cmp #TYPE_WASP
  beq @soft
  cmp #TYPE_CAREFUL
  bne @harm
@soft:
  lda obj_y_speed
  bmi @harm
  beq @harm
  lda obj_y, x
  clc
  adc #STOMP_DEPTH
  sta t0
  lda obj_y
  clc
  adc #32
  cmp t0
  bcs @harm
  lda #FLAT
  sta obj_air, x
  lda #FLAT_FRAMES
  sta obj_timer, x
  txa
  pha
  jsr bounce_player
  lda #STOMP_POINTS
  ldx #4
  jsr add_score
  pla
  tax
  rts
@harm:
  jmp hurt_player

draw_creatures:
  ldx #SPECIAL - 1
@object:
  lda obj_active, x
  beq @next
  jsr draw_creature
@next:
  dex
  bne @object
  rts

draw_creature:
  lda #2
  sta t2
  lda #8
  sta t7
  ldy #PAL_BEETLE
  lda obj_type, x
  cmp #TYPE_PLANT
  beq @plant
  cmp #TYPE_EMBER
  beq @ember
  cmp #TYPE_FROG
  beq @frog
  cmp #TYPE_WASP
  beq @wasp
  cmp #TYPE_HEDGEHOG
  beq @hedgehog
  cmp #TYPE_CAREFUL
  bne @beetle
  ldy #PAL_RED
@beetle:
  lda obj_air, x
  cmp #FLAT
  beq @flat
  lda frame
  and #8
  bne :+
  lda #SPR_BEETLE_1
  bne @draw ; always
: lda #SPR_BEETLE_2
  bne @draw ; always
@flat:
  lda #SPR_BEETLE_FLAT
  bne @draw ; always
@hedgehog:
  ldy #PAL_RED
  jsr look
  lda frame
  and #8
  bne :+
  lda #SPR_HEDGEHOG_1
  bne @draw ; always
: lda #SPR_HEDGEHOG_2
  bne @draw ; always
@frog:
  ldy #PAL_GREEN
  lda obj_air, x
  cmp #FLAT
  beq @flat
  jsr look
  lda obj_air, x
  bne :+
  lda #SPR_FROG_SIT
  bne @draw ; always
: lda #SPR_FROG_LEAP
  bne @draw ; always
@wasp:
  ldy #PAL_HERO
  lda obj_air, x
  cmp #FLAT
  beq @flat
  lda frame
  and #4
  bne :+
  lda #SPR_WASP_1
  bne @draw ; always
: lda #SPR_WASP_2
  bne @draw ; always
@ember:
  ldy #PAL_RED | BEHIND
  lda #SPR_EMBER
  bne @draw ; always
@plant:
  lda #3
  sta t2
  ldy #PAL_GREEN | BEHIND
  lda frame
  and #16
  bne :+
  lda #SPR_PLANT_1
  bne @draw ; always
: lda #SPR_PLANT_2
@draw:
  jmp draw_object

; Turns the picture with palette Y where it goes.
look:
  lda obj_dir, x
  cmp #RIGHT
  bne :+
  tya
  ora #FLIP
  tay
: rts
